release/labeler/select_leave.o: labeler/select_leave.c \
  labeler/select_leave.h common/base/err.h shards/corpus.h \
  common/base/hash.h common/base/json.h shards/class_list.h \
  shards/shard_reader.h shards/shard_record.h shards/guard.h \
  shards/label_store.h common/base/fs.h common/base/mem.h

labeler/select_leave.h:

common/base/err.h:

shards/corpus.h:

common/base/hash.h:

common/base/json.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/guard.h:

shards/label_store.h:

common/base/fs.h:

common/base/mem.h:
