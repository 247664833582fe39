release/labeler/select_scan.o: labeler/select_scan.c common/base/mem.h \
  common/base/err.h labeler/select_impl.h labeler/select.h \
  labeler/select_leave.h shards/corpus.h common/base/hash.h \
  common/base/json.h shards/class_list.h shards/shard_reader.h \
  shards/shard_record.h shards/guard.h shards/label_store.h \
  shards/selection.h

common/base/mem.h:

common/base/err.h:

labeler/select_impl.h:

labeler/select.h:

labeler/select_leave.h:

shards/corpus.h:

common/base/hash.h:

common/base/json.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/guard.h:

shards/label_store.h:

shards/selection.h:
