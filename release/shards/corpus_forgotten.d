release/shards/corpus_forgotten.o: shards/corpus_forgotten.c \
  common/base/mem.h common/base/err.h shards/corpus_impl.h \
  common/base/json.h common/base/hash.h shards/corpus.h \
  shards/class_list.h shards/shard_reader.h shards/shard_record.h \
  shards/corpus_extra.h shards/forgotten.h

common/base/mem.h:

common/base/err.h:

shards/corpus_impl.h:

common/base/json.h:

common/base/hash.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/corpus_extra.h:

shards/forgotten.h:
