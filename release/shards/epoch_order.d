release/shards/epoch_order.o: shards/epoch_order.c shards/epoch_order.h \
  shards/corpus.h common/base/err.h common/base/hash.h \
  common/base/json.h shards/class_list.h shards/shard_reader.h \
  shards/shard_record.h shards/selection.h common/base/mem.h \
  common/base/rng.h

shards/epoch_order.h:

shards/corpus.h:

common/base/err.h:

common/base/hash.h:

common/base/json.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/selection.h:

common/base/mem.h:

common/base/rng.h:
