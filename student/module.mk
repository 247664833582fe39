student_SRC  :=
student_DEPS := common/train common/nn common/device common/coll shards common/image common/base
student_LIBS :=
