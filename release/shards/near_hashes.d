release/shards/near_hashes.o: shards/near_hashes.c shards/near_hashes.h \
  common/base/err.h common/base/hash.h shards/corpus.h \
  common/base/json.h shards/class_list.h shards/shard_reader.h \
  shards/shard_record.h shards/pending.h shards/known.h common/base/fs.h \
  common/base/log.h common/base/mem.h common/image/phash.h \
  common/image/image.h shards/corpus_impl.h shards/corpus_extra.h \
  shards/forgotten.h shards/flat_file.h

shards/near_hashes.h:

common/base/err.h:

common/base/hash.h:

shards/corpus.h:

common/base/json.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/pending.h:

shards/known.h:

common/base/fs.h:

common/base/log.h:

common/base/mem.h:

common/image/phash.h:

common/image/image.h:

shards/corpus_impl.h:

shards/corpus_extra.h:

shards/forgotten.h:

shards/flat_file.h:
