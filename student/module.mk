student_SRC  := mix.c train_config.c train_dry_run.c train_eval.c train_folder.c train_progress.c train_record.c train_run.c train_stores.c verb_train.c
student_DEPS := common/train common/nn common/device common/coll shards common/image common/base
student_LIBS :=
