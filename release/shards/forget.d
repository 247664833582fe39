release/shards/forget.o: shards/forget.c shards/forget.h \
  common/base/err.h common/base/hash.h shards/corpus.h \
  common/base/json.h shards/class_list.h shards/shard_reader.h \
  shards/shard_record.h common/base/fs.h common/base/mem.h \
  shards/corpus_impl.h shards/corpus_extra.h shards/forgotten.h \
  shards/json_bytes.h shards/near_hashes.h shards/pending.h \
  shards/known.h

shards/forget.h:

common/base/err.h:

common/base/hash.h:

shards/corpus.h:

common/base/json.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

common/base/fs.h:

common/base/mem.h:

shards/corpus_impl.h:

shards/corpus_extra.h:

shards/forgotten.h:

shards/json_bytes.h:

shards/near_hashes.h:

shards/pending.h:

shards/known.h:
