release/shards/dedupe.o: shards/dedupe.c shards/dedupe.h \
  common/base/err.h common/base/clock.h common/base/fs.h \
  common/base/json.h common/base/hash.h common/base/mem.h \
  common/base/progress.h common/image/phash.h common/image/image.h \
  shards/json_bytes.h shards/near_hashes.h shards/corpus.h \
  shards/class_list.h shards/shard_reader.h shards/shard_record.h \
  shards/pending.h shards/known.h shards/near_index.h

shards/dedupe.h:

common/base/err.h:

common/base/clock.h:

common/base/fs.h:

common/base/json.h:

common/base/hash.h:

common/base/mem.h:

common/base/progress.h:

common/image/phash.h:

common/image/image.h:

shards/json_bytes.h:

shards/near_hashes.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/pending.h:

shards/known.h:

shards/near_index.h:
