release/teacher/teacher.o: teacher/teacher.c teacher/teacher.h \
  common/base/err.h common/base/hash.h common/device/device.h \
  common/image/image.h common/nn/net.h common/base/trace.h \
  common/nn/params.h common/nn/family.h common/nn/quant.h \
  common/train/checkpoint.h common/train/model.h common/train/trainer.h \
  common/coll/coll.h common/train/schedule.h common/base/fs.h \
  common/base/mem.h shards/corpus.h common/base/json.h \
  shards/class_list.h shards/shard_reader.h shards/shard_record.h

teacher/teacher.h:

common/base/err.h:

common/base/hash.h:

common/device/device.h:

common/image/image.h:

common/nn/net.h:

common/base/trace.h:

common/nn/params.h:

common/nn/family.h:

common/nn/quant.h:

common/train/checkpoint.h:

common/train/model.h:

common/train/trainer.h:

common/coll/coll.h:

common/train/schedule.h:

common/base/fs.h:

common/base/mem.h:

shards/corpus.h:

common/base/json.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:
