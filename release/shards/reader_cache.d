release/shards/reader_cache.o: shards/reader_cache.c common/base/mem.h \
  common/base/err.h shards/reader_cache_impl.h shards/corpus.h \
  common/base/hash.h common/base/json.h shards/class_list.h \
  shards/shard_reader.h shards/shard_record.h

common/base/mem.h:

common/base/err.h:

shards/reader_cache_impl.h:

shards/corpus.h:

common/base/hash.h:

common/base/json.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:
