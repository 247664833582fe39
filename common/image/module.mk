common/image_SRC  := augment.c crop.c decode.c jpeg.c resize.c
common/image_DEPS := common/base
common/image_LIBS := -ljpeg
