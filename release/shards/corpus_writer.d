release/shards/corpus_writer.o: shards/corpus_writer.c \
  shards/corpus_writer.h common/base/json.h common/base/err.h \
  common/base/hash.h shards/corpus.h shards/class_list.h \
  shards/shard_reader.h shards/shard_record.h shards/known.h \
  common/base/fs.h common/base/log.h common/base/mem.h \
  shards/corpus_impl.h shards/corpus_extra.h shards/forgotten.h \
  shards/near_hashes.h shards/pending.h shards/shard_writer.h

shards/corpus_writer.h:

common/base/json.h:

common/base/err.h:

common/base/hash.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/known.h:

common/base/fs.h:

common/base/log.h:

common/base/mem.h:

shards/corpus_impl.h:

shards/corpus_extra.h:

shards/forgotten.h:

shards/near_hashes.h:

shards/pending.h:

shards/shard_writer.h:
