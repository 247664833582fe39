release/shards/corpus_facts.o: shards/corpus_facts.c shards/corpus_impl.h \
  common/base/json.h common/base/err.h common/base/hash.h \
  shards/corpus.h shards/class_list.h shards/shard_reader.h \
  shards/shard_record.h shards/corpus_extra.h shards/forgotten.h

shards/corpus_impl.h:

common/base/json.h:

common/base/err.h:

common/base/hash.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/corpus_extra.h:

shards/forgotten.h:
