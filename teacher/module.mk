teacher_SRC  := calibrate.c calibrate_file.c teacher.c verb_eval.c verb_predict.c
teacher_DEPS := common/train common/nn common/device common/coll shards common/image common/base
teacher_LIBS :=
