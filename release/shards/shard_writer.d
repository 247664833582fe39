release/shards/shard_writer.o: shards/shard_writer.c \
  shards/shard_writer.h shards/corpus.h common/base/err.h \
  common/base/hash.h common/base/json.h shards/class_list.h \
  shards/shard_reader.h shards/shard_record.h shards/pending.h \
  shards/known.h common/base/mem.h shards/corpus_impl.h \
  shards/corpus_extra.h shards/forgotten.h shards/lmdb_file.h

shards/shard_writer.h:

shards/corpus.h:

common/base/err.h:

common/base/hash.h:

common/base/json.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/pending.h:

shards/known.h:

common/base/mem.h:

shards/corpus_impl.h:

shards/corpus_extra.h:

shards/forgotten.h:

shards/lmdb_file.h:
