release/student/train_eval.o: student/train_eval.c student/train_eval.h \
  common/coll/coll.h common/base/err.h common/nn/net.h \
  common/base/trace.h common/device/device.h common/nn/params.h \
  common/nn/family.h common/nn/quant.h common/train/evaluate.h \
  shards/corpus.h common/base/hash.h common/base/json.h \
  shards/class_list.h shards/shard_reader.h shards/shard_record.h \
  common/base/mem.h common/train/evaluate_loop.h shards/eval_feed.h \
  shards/feed.h common/image/augment.h common/base/rng.h \
  common/image/image.h

student/train_eval.h:

common/coll/coll.h:

common/base/err.h:

common/nn/net.h:

common/base/trace.h:

common/device/device.h:

common/nn/params.h:

common/nn/family.h:

common/nn/quant.h:

common/train/evaluate.h:

shards/corpus.h:

common/base/hash.h:

common/base/json.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

common/base/mem.h:

common/train/evaluate_loop.h:

shards/eval_feed.h:

shards/feed.h:

common/image/augment.h:

common/base/rng.h:

common/image/image.h:
