common/train_SRC  := calibration.c checkpoint.c evaluate_loop.c evaluation.c model.c \
                     model_tensors.c schedule.c st_read.c st_write.c trainer.c trainer_noise.c \
                     trainer_step.c
common/train_DEPS := common/nn common/device common/coll common/base
common/train_LIBS :=
