release/shards/feed.o: shards/feed.c shards/feed.h common/image/augment.h \
  common/base/rng.h common/base/hash.h common/base/err.h \
  common/image/image.h shards/corpus.h common/base/json.h \
  shards/class_list.h shards/shard_reader.h shards/shard_record.h \
  common/base/clock.h common/base/mem.h shards/feed_impl.h \
  shards/reader_cache_impl.h

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

common/base/clock.h:

common/base/mem.h:

shards/feed_impl.h:

shards/reader_cache_impl.h:
