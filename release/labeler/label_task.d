release/labeler/label_task.o: labeler/label_task.c labeler/label_task.h \
  labeler/label_run.h common/base/err.h common/base/trace.h \
  common/base/watch.h common/image/image.h labeler/work.h \
  common/base/hash.h common/coll/coll.h shards/label_store.h \
  shards/corpus.h common/base/json.h shards/class_list.h \
  shards/shard_reader.h shards/shard_record.h common/base/clock.h \
  common/base/mem.h labeler/audit.h shards/feed.h common/image/augment.h \
  common/base/rng.h

labeler/label_task.h:

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

common/base/mem.h:

labeler/audit.h:

shards/feed.h:

common/image/augment.h:

common/base/rng.h:
