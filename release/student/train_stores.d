release/student/train_stores.o: student/train_stores.c \
  student/train_stores.h shards/corpus.h common/base/err.h \
  common/base/hash.h common/base/json.h shards/class_list.h \
  shards/shard_reader.h shards/shard_record.h shards/label_store.h \
  shards/selection.h student/train_config.h common/base/opt.h \
  common/image/augment.h common/base/rng.h common/image/image.h \
  common/train/trainer.h common/coll/coll.h common/nn/net.h \
  common/base/trace.h common/device/device.h common/nn/params.h \
  common/nn/family.h common/nn/quant.h common/train/schedule.h \
  common/base/mem.h

student/train_stores.h:

shards/corpus.h:

common/base/err.h:

common/base/hash.h:

common/base/json.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/label_store.h:

shards/selection.h:

student/train_config.h:

common/base/opt.h:

common/image/augment.h:

common/base/rng.h:

common/image/image.h:

common/train/trainer.h:

common/coll/coll.h:

common/nn/net.h:

common/base/trace.h:

common/device/device.h:

common/nn/params.h:

common/nn/family.h:

common/nn/quant.h:

common/train/schedule.h:

common/base/mem.h:
