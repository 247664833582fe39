release/labeler/label_run.o: labeler/label_run.c labeler/label_run.h \
  common/base/err.h common/base/trace.h common/base/watch.h \
  common/image/image.h labeler/work.h common/base/hash.h \
  common/coll/coll.h shards/label_store.h shards/corpus.h \
  common/base/json.h shards/class_list.h shards/shard_reader.h \
  shards/shard_record.h common/base/clock.h common/base/progress.h \
  labeler/label_task.h

labeler/label_run.h:

common/base/err.h:

common/base/trace.h:

common/base/watch.h:

common/image/image.h:

labeler/work.h:

common/base/hash.h:

common/coll/coll.h:

shards/label_store.h:

shards/corpus.h:

common/base/json.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

common/base/clock.h:

common/base/progress.h:

labeler/label_task.h:
