release/student/train_run.o: student/train_run.c student/train_run.h \
  common/base/json.h common/base/err.h common/base/hash.h \
  common/base/verb.h student/train_config.h common/base/opt.h \
  common/image/augment.h common/base/rng.h common/image/image.h \
  common/train/trainer.h common/coll/coll.h common/nn/net.h \
  common/base/trace.h common/device/device.h common/nn/params.h \
  common/nn/family.h common/nn/quant.h common/train/schedule.h \
  common/base/clock.h common/base/fs.h common/base/log.h \
  common/base/mem.h common/base/metrics.h common/base/watch.h \
  common/train/checkpoint.h common/train/model.h shards/manifest.h \
  student/mix.h shards/feed.h shards/corpus.h shards/class_list.h \
  shards/shard_reader.h shards/shard_record.h shards/label_store.h \
  shards/selection.h student/train_eval.h common/train/evaluate.h \
  student/train_folder.h student/train_progress.h common/base/progress.h \
  student/train_record.h student/train_stores.h

student/train_run.h:

common/base/json.h:

common/base/err.h:

common/base/hash.h:

common/base/verb.h:

student/train_config.h:

common/base/opt.h:

common/image/augment.h:

common/base/rng.h:

common/image/image.h:

common/train/trainer.h:

common/coll/coll.h:

common/nn/net.h:

common/base/trace.h:

common/device/device.h:

common/nn/params.h:

common/nn/family.h:

common/nn/quant.h:

common/train/schedule.h:

common/base/clock.h:

common/base/fs.h:

common/base/log.h:

common/base/mem.h:

common/base/metrics.h:

common/base/watch.h:

common/train/checkpoint.h:

common/train/model.h:

shards/manifest.h:

student/mix.h:

shards/feed.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

shards/label_store.h:

shards/selection.h:

student/train_eval.h:

common/train/evaluate.h:

student/train_folder.h:

student/train_progress.h:

common/base/progress.h:

student/train_record.h:

student/train_stores.h:
