release/shards/pack_guard.o: shards/pack_guard.c shards/pack_guard.h \
  shards/pack.h common/base/err.h common/base/log.h common/base/mem.h \
  shards/corpus_impl.h common/base/json.h common/base/hash.h \
  shards/corpus.h shards/class_list.h shards/shard_reader.h \
  shards/shard_record.h shards/corpus_extra.h shards/forgotten.h \
  shards/forget.h shards/guard.h

shards/pack_guard.h:

shards/pack.h:

common/base/err.h:

common/base/log.h:

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

shards/forget.h:

shards/guard.h:
