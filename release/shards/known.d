release/shards/known.o: shards/known.c shards/known.h shards/corpus.h \
  common/base/err.h common/base/hash.h common/base/json.h \
  shards/class_list.h shards/shard_reader.h shards/shard_record.h \
  common/base/fs.h common/base/log.h common/base/mem.h \
  shards/corpus_impl.h shards/corpus_extra.h shards/forgotten.h \
  shards/lmdb_file.h

shards/known.h:

shards/corpus.h:

common/base/err.h:

common/base/hash.h:

common/base/json.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

common/base/fs.h:

common/base/log.h:

common/base/mem.h:

shards/corpus_impl.h:

shards/corpus_extra.h:

shards/forgotten.h:

shards/lmdb_file.h:
