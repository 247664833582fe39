release/teacher/verb_predict.o: teacher/verb_predict.c common/base/fs.h \
  common/base/err.h common/base/json.h common/base/hash.h \
  common/base/log.h common/base/mem.h common/base/opt.h \
  common/coll/coll.h teacher/calibrate.h common/nn/quant.h \
  common/nn/family.h shards/corpus.h shards/class_list.h \
  shards/shard_reader.h shards/shard_record.h teacher/teacher.h \
  common/device/device.h common/image/image.h common/nn/net.h \
  common/base/trace.h common/nn/params.h common/train/checkpoint.h \
  common/train/model.h common/train/trainer.h common/train/schedule.h \
  teacher/teacher_verbs.h common/base/verb.h

common/base/fs.h:

common/base/err.h:

common/base/json.h:

common/base/hash.h:

common/base/log.h:

common/base/mem.h:

common/base/opt.h:

common/coll/coll.h:

teacher/calibrate.h:

common/nn/quant.h:

common/nn/family.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

teacher/teacher.h:

common/device/device.h:

common/image/image.h:

common/nn/net.h:

common/base/trace.h:

common/nn/params.h:

common/train/checkpoint.h:

common/train/model.h:

common/train/trainer.h:

common/train/schedule.h:

teacher/teacher_verbs.h:

common/base/verb.h:
