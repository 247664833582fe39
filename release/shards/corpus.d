release/shards/corpus.o: shards/corpus.c common/base/fs.h \
  common/base/err.h common/base/mem.h shards/corpus_impl.h \
  common/base/json.h common/base/hash.h shards/corpus.h \
  shards/class_list.h shards/shard_reader.h shards/shard_record.h \
  shards/corpus_extra.h shards/forgotten.h shards/manifest.h

common/base/fs.h:

common/base/err.h:

common/base/mem.h:

shards/corpus_impl.h:

common/base/json.h:

common/base/hash.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/corpus_extra.h:

shards/forgotten.h:

shards/manifest.h:
