release/labeler/verb_select.o: labeler/verb_select.c common/base/clock.h \
  common/base/json.h common/base/err.h common/base/hash.h \
  common/base/log.h common/base/mem.h common/base/opt.h \
  labeler/labeler_verbs.h common/base/verb.h labeler/select.h \
  labeler/select_leave.h shards/corpus.h shards/class_list.h \
  shards/shard_reader.h shards/shard_record.h shards/guard.h \
  shards/label_store.h shards/selection.h

common/base/clock.h:

common/base/json.h:

common/base/err.h:

common/base/hash.h:

common/base/log.h:

common/base/mem.h:

common/base/opt.h:

labeler/labeler_verbs.h:

common/base/verb.h:

labeler/select.h:

labeler/select_leave.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/guard.h:

shards/label_store.h:

shards/selection.h:
