release/shards/pack_classes.o: shards/pack_classes.c \
  shards/pack_classes.h shards/class_list.h common/base/err.h \
  common/base/hash.h shards/pack.h shards/source.h common/base/fs.h \
  common/base/mem.h common/image/image.h shards/corpus.h \
  common/base/json.h shards/shard_reader.h shards/shard_record.h

shards/pack_classes.h:

shards/class_list.h:

common/base/err.h:

common/base/hash.h:

shards/pack.h:

shards/source.h:

common/base/fs.h:

common/base/mem.h:

common/image/image.h:

shards/corpus.h:

common/base/json.h:

shards/shard_reader.h:

shards/shard_record.h:
