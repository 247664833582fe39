release/shards/eval_feed.o: shards/eval_feed.c shards/eval_feed.h \
  shards/feed.h common/image/augment.h common/base/rng.h \
  common/base/hash.h common/base/err.h common/image/image.h \
  shards/corpus.h common/base/json.h shards/class_list.h \
  shards/shard_reader.h shards/shard_record.h common/base/mem.h

shards/eval_feed.h:

shards/feed.h:

common/image/augment.h:

common/base/rng.h:

common/base/hash.h:

common/base/err.h:

common/image/image.h:

shards/corpus.h:

common/base/json.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

common/base/mem.h:
