release/shards/pack.o: shards/pack.c common/base/clock.h common/base/fs.h \
  common/base/err.h common/base/mem.h common/base/watch.h \
  shards/json_bytes.h common/base/json.h common/base/hash.h \
  shards/pack_draw.h shards/pack_impl.h common/base/progress.h \
  shards/corpus_writer.h shards/corpus.h shards/class_list.h \
  shards/shard_reader.h shards/shard_record.h shards/known.h \
  shards/pack.h shards/pack_classes.h shards/source.h shards/pack_pool.h \
  common/image/image.h shards/pack_retry.h shards/quarantine.h \
  shards/pack_guard.h

common/base/clock.h:

common/base/fs.h:

common/base/err.h:

common/base/mem.h:

common/base/watch.h:

shards/json_bytes.h:

common/base/json.h:

common/base/hash.h:

shards/pack_draw.h:

shards/pack_impl.h:

common/base/progress.h:

shards/corpus_writer.h:

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

shards/pack_guard.h:
