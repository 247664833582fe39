release/shards/shard_reader.o: shards/shard_reader.c \
  shards/shard_reader.h common/base/err.h common/base/hash.h \
  shards/shard_record.h common/base/fs.h common/base/mem.h \
  common/base/watch.h shards/corpus_impl.h common/base/json.h \
  shards/corpus.h shards/class_list.h shards/corpus_extra.h \
  shards/forgotten.h shards/lmdb_file.h

shards/shard_reader.h:

common/base/err.h:

common/base/hash.h:

shards/shard_record.h:

common/base/fs.h:

common/base/mem.h:

common/base/watch.h:

shards/corpus_impl.h:

common/base/json.h:

shards/corpus.h:

shards/class_list.h:

shards/corpus_extra.h:

shards/forgotten.h:

shards/lmdb_file.h:
