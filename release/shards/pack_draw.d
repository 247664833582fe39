release/shards/pack_draw.o: shards/pack_draw.c shards/pack_draw.h \
  shards/pack_impl.h common/base/progress.h shards/corpus_writer.h \
  common/base/json.h common/base/err.h common/base/hash.h \
  shards/corpus.h shards/class_list.h shards/shard_reader.h \
  shards/shard_record.h shards/known.h shards/pack.h \
  shards/pack_classes.h shards/source.h shards/pack_pool.h \
  common/image/image.h shards/pack_retry.h shards/quarantine.h \
  common/base/mem.h common/base/rng.h

shards/pack_draw.h:

shards/pack_impl.h:

common/base/progress.h:

shards/corpus_writer.h:

common/base/json.h:

common/base/err.h:

common/base/hash.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/known.h:

shards/pack.h:

shards/pack_classes.h:

shards/source.h:

shards/pack_pool.h:

common/image/image.h:

shards/pack_retry.h:

shards/quarantine.h:

common/base/mem.h:

common/base/rng.h:
