teacher_SRC  :=
teacher_DEPS := common/train common/nn common/device common/coll shards common/image common/base
teacher_LIBS :=
