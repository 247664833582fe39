release/teacher/calibrate_file.o: teacher/calibrate_file.c \
  common/base/fs.h common/base/err.h common/base/json.h \
  common/base/hash.h common/base/mem.h shards/manifest.h \
  teacher/calibrate_impl.h teacher/calibrate.h common/coll/coll.h \
  common/nn/quant.h common/nn/family.h shards/corpus.h \
  shards/class_list.h shards/shard_reader.h shards/shard_record.h \
  teacher/teacher.h common/device/device.h common/image/image.h \
  common/nn/net.h common/base/trace.h common/nn/params.h \
  common/train/checkpoint.h common/train/model.h common/train/trainer.h \
  common/train/schedule.h

common/base/fs.h:

common/base/err.h:

common/base/json.h:

common/base/hash.h:

common/base/mem.h:

shards/manifest.h:

teacher/calibrate_impl.h:

teacher/calibrate.h:

common/coll/coll.h:

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
