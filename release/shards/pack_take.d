release/shards/pack_take.o: shards/pack_take.c common/base/watch.h \
  common/base/err.h shards/pack_impl.h common/base/progress.h \
  shards/corpus_writer.h common/base/json.h common/base/hash.h \
  shards/corpus.h shards/class_list.h shards/shard_reader.h \
  shards/shard_record.h shards/known.h shards/pack.h \
  shards/pack_classes.h shards/source.h shards/pack_pool.h \
  common/image/image.h shards/pack_retry.h shards/quarantine.h

common/base/watch.h:

common/base/err.h:

shards/pack_impl.h:

common/base/progress.h:

shards/corpus_writer.h:

common/base/json.h:

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
