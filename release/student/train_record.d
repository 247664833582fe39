release/student/train_record.o: student/train_record.c \
  student/train_record.h common/base/json.h common/base/err.h \
  common/base/hash.h student/train_stores.h shards/corpus.h \
  shards/class_list.h shards/shard_reader.h shards/shard_record.h \
  shards/label_store.h shards/selection.h student/train_config.h \
  common/base/opt.h common/image/augment.h common/base/rng.h \
  common/image/image.h common/train/trainer.h common/coll/coll.h \
  common/nn/net.h common/base/trace.h common/device/device.h \
  common/nn/params.h common/nn/family.h common/nn/quant.h \
  common/train/schedule.h common/base/fs.h common/base/mem.h \
  shards/json_bytes.h shards/manifest.h

student/train_record.h:

common/base/json.h:

common/base/err.h:

common/base/hash.h:

student/train_stores.h:

shards/corpus.h:

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

common/base/fs.h:

common/base/mem.h:

shards/json_bytes.h:

shards/manifest.h:
