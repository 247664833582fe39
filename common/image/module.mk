common/image_SRC  := augment.c bmp.c codec.c crop.c decode.c gif.c image.c jpeg.c pixel_ops.c pil_ops.c phash.c png.c pnm.c randaugment.c \
                     resize.c tf_ops.c webp.c
common/image_DEPS := common/base
common/image_LIBS := -ljpeg -lpng -lwebpdemux -lwebp -lm
