release/shards/feed_work.o: shards/feed_work.c common/base/rng.h \
  common/base/hash.h common/base/err.h shards/feed_impl.h shards/feed.h \
  common/image/augment.h common/image/image.h shards/corpus.h \
  common/base/json.h shards/class_list.h shards/shard_reader.h \
  shards/shard_record.h shards/reader_cache_impl.h

common/base/rng.h:

common/base/hash.h:

common/base/err.h:

shards/feed_impl.h:

shards/feed.h:

common/image/augment.h:

common/image/image.h:

shards/corpus.h:

common/base/json.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/reader_cache_impl.h:
