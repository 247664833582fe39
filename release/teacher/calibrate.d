release/teacher/calibrate.o: teacher/calibrate.c teacher/calibrate.h \
  common/coll/coll.h common/base/err.h common/nn/quant.h \
  common/nn/family.h shards/corpus.h common/base/hash.h \
  common/base/json.h shards/class_list.h shards/shard_reader.h \
  shards/shard_record.h teacher/teacher.h common/device/device.h \
  common/image/image.h common/nn/net.h common/base/trace.h \
  common/nn/params.h common/train/checkpoint.h common/train/model.h \
  common/train/trainer.h common/train/schedule.h common/base/log.h \
  common/base/mem.h common/base/rng.h shards/feed.h \
  common/image/augment.h teacher/calibrate_impl.h

teacher/calibrate.h:

common/coll/coll.h:

common/base/err.h:

common/nn/quant.h:

common/nn/family.h:

shards/corpus.h:

common/base/hash.h:

common/base/json.h:

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

common/base/log.h:

common/base/mem.h:

common/base/rng.h:

shards/feed.h:

common/image/augment.h:

teacher/calibrate_impl.h:
