common/train_SRC  := checkpoint.c evaluate.c evaluate_loop.c model.c safetensors.c schedule.c trainer.c
common/train_DEPS := common/nn common/device common/coll common/base
common/train_LIBS :=
