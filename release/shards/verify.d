release/shards/verify.o: shards/verify.c shards/verify.h \
  common/base/err.h common/base/clock.h common/base/fs.h \
  common/base/mem.h shards/corpus_impl.h common/base/json.h \
  common/base/hash.h shards/corpus.h shards/class_list.h \
  shards/shard_reader.h shards/shard_record.h shards/corpus_extra.h \
  shards/forgotten.h shards/guard.h shards/label_store.h \
  shards/manifest.h shards/near_hashes.h shards/pending.h shards/known.h \
  shards/quarantine.h shards/selection.h shards/verify_impl.h \
  common/base/progress.h

shards/verify.h:

common/base/err.h:

common/base/clock.h:

common/base/fs.h:

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

shards/guard.h:

shards/label_store.h:

shards/manifest.h:

shards/near_hashes.h:

shards/pending.h:

shards/known.h:

shards/quarantine.h:

shards/selection.h:

shards/verify_impl.h:

common/base/progress.h:
