release/teacher/verb_eval.o: teacher/verb_eval.c common/base/clock.h \
  common/base/json.h common/base/err.h common/base/hash.h \
  common/base/log.h common/base/mem.h common/base/opt.h \
  common/coll/coll.h common/train/calibration.h common/train/evaluate.h \
  common/nn/net.h common/base/trace.h common/device/device.h \
  common/nn/params.h common/nn/family.h common/nn/quant.h \
  common/train/evaluate_loop.h shards/eval_feed.h shards/feed.h \
  common/image/augment.h common/base/rng.h common/image/image.h \
  shards/corpus.h shards/class_list.h shards/shard_reader.h \
  shards/shard_record.h teacher/calibrate.h teacher/teacher.h \
  common/train/checkpoint.h common/train/model.h common/train/trainer.h \
  common/train/schedule.h teacher/teacher_verbs.h common/base/verb.h

common/base/clock.h:

common/base/json.h:

common/base/err.h:

common/base/hash.h:

common/base/log.h:

common/base/mem.h:

common/base/opt.h:

common/coll/coll.h:

common/train/calibration.h:

common/train/evaluate.h:

common/nn/net.h:

common/base/trace.h:

common/device/device.h:

common/nn/params.h:

common/nn/family.h:

common/nn/quant.h:

common/train/evaluate_loop.h:

shards/eval_feed.h:

shards/feed.h:

common/image/augment.h:

common/base/rng.h:

common/image/image.h:

shards/corpus.h:

shards/class_list.h:

shards/shard_reader.h:

shards/shard_record.h:

teacher/calibrate.h:

teacher/teacher.h:

common/train/checkpoint.h:

common/train/model.h:

common/train/trainer.h:

common/train/schedule.h:

teacher/teacher_verbs.h:

common/base/verb.h:
