common/train_SRC  := checkpoint.c evaluate.c safetensors.c schedule.c trainer.c
common/train_DEPS := common/nn common/device common/coll common/base
common/train_LIBS :=
