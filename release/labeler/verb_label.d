release/labeler/verb_label.o: labeler/verb_label.c common/base/clock.h \
  common/base/fs.h common/base/err.h common/base/json.h \
  common/base/hash.h common/base/log.h common/base/mem.h \
  common/base/opt.h common/coll/coll.h labeler/audit.h \
  labeler/label_run.h common/base/trace.h common/base/watch.h \
  common/image/image.h labeler/work.h shards/label_store.h \
  shards/corpus.h shards/class_list.h shards/shard_reader.h \
  shards/shard_record.h labeler/labeler_verbs.h common/base/verb.h \
  teacher/calibrate.h common/nn/quant.h common/nn/family.h \
  teacher/teacher.h common/device/device.h common/nn/net.h \
  common/nn/params.h common/train/checkpoint.h common/train/model.h \
  common/train/trainer.h common/train/schedule.h

common/base/clock.h:

common/base/fs.h:

common/base/err.h:

common/base/json.h:

common/base/hash.h:

common/base/log.h:

common/base/mem.h:

common/base/opt.h:

common/coll/coll.h:

labeler/audit.h:

labeler/label_run.h:

common/base/trace.h:

common/base/watch.h:

common/image/image.h:

labeler/work.h:

shards/label_store.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

labeler/labeler_verbs.h:

common/base/verb.h:

teacher/calibrate.h:

common/nn/quant.h:

common/nn/family.h:

teacher/teacher.h:

common/device/device.h:

common/nn/net.h:

common/nn/params.h:

common/train/checkpoint.h:

common/train/model.h:

common/train/trainer.h:

common/train/schedule.h:
