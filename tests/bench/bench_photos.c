/*
 * Full-size photographs out of small ones: 500 x 376 mosaics of six pictures in rows of three, as
 * JPEGs like ImageNet's. The names of the small files come on standard input; each mosaic is written
 * COPIES times with another comment, so that its bytes differ. Class folders c0 to c9.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <jpeglib.h>

#include "common/base/fs.h"
#include "common/base/rng.h"
#include "common/image/image.h"
#include "tests/bench/bench.h"

static const char usage[] = "bench_photos OUT_DIR MOSAICS COPIES <NAMES";

enum {
    TILE_W = 167,
    TILE_H = 188,
    COLUMNS = 3,
    ROWS = 2,
    WIDTH = TILE_W * COLUMNS,
    HEIGHT = TILE_H * ROWS,
    TILES_MAX = 512,
    QUALITY = 92,
    CLASSES = 10
};

static uint8_t *tiles[TILES_MAX];
static int n_tiles;

static void read_tiles(void)
{
    static char name[4096];
    struct codec *decoder = NULL;
    struct codec *resizer = NULL;
    struct err e = {0};

    bench_must(codec_create(&decoder, &e), &e);
    bench_must(codec_create(&resizer, &e), &e);
    while (n_tiles < TILES_MAX && fgets(name, sizeof name, stdin) != NULL) {
        enum image_reason why = IMAGE_OK;
        struct image image;
        char *data = NULL;
        size_t bytes = 0;

        name[strcspn(name, "\n")] = '\0';
        bench_must(fs_read(name, IMAGE_MAX_BYTES, &data, &bytes, &e), &e);
        if (image_decode(decoder, data, bytes, 3, &image, &why, &e) == RC_OK) {
            const double box[4] = {0, 0, image.w, image.h};

            tiles[n_tiles] = bench_alloc((size_t)TILE_W * TILE_H * 3);
            bench_must(image_resize(resizer, &image, box, TILE_W, TILE_H, IMAGE_BICUBIC,
                                    tiles[n_tiles++], &e),
                       &e);
        }
        mem_free(data);
    }
    codec_destroy(decoder);
    codec_destroy(resizer);
}

static void mosaic(struct rng *r, uint8_t *out)
{
    for (int t = 0; t < COLUMNS * ROWS; t++) {
        const uint8_t *tile = tiles[rng_below(r, (uint32_t)n_tiles)];
        uint8_t *to =
            out + ((size_t)(t / COLUMNS) * TILE_H * WIDTH + (size_t)(t % COLUMNS) * TILE_W) * 3;

        for (int y = 0; y < TILE_H; y++) {
            memcpy(to + (size_t)y * WIDTH * 3, tile + (size_t)y * TILE_W * 3, (size_t)TILE_W * 3);
        }
    }
}

/* The mosaic as a JPEG; libjpeg's own handler ends the program on an error. */
static size_t encode(uint8_t *pixels, unsigned copy, unsigned char **out)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned long bytes = 0;

    *out = NULL;
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, out, &bytes);
    c.image_width = WIDTH;
    c.image_height = HEIGHT;
    c.input_components = 3;
    c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, QUALITY, TRUE);
    jpeg_start_compress(&c, TRUE);
    jpeg_write_marker(&c, JPEG_COM, (const JOCTET *)&copy, sizeof copy);
    while (c.next_scanline < c.image_height) {
        JSAMPROW row = pixels + (size_t)c.next_scanline * WIDTH * 3;

        (void)jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    return bytes;
}

static void write_file(const char *dir, int number, const void *data, size_t bytes)
{
    char path[4096];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/c%d/%06d.jpg", dir, number % CLASSES, number);
    f = fopen(path, "wb");
    if (f == NULL || fwrite(data, 1, bytes, f) != bytes || fclose(f) != 0) {
        fprintf(stderr, "bench: cannot write '%s'\n", path);
        exit(1);
    }
}

/* Where the comment's four bytes lie: behind its marker. */
static unsigned char *comment(unsigned char *jpeg, size_t bytes)
{
    static const unsigned char marker[] = {0xFF, 0xFE, 0x00, 0x06};

    return (unsigned char *)memmem(jpeg, bytes, marker, sizeof marker) + sizeof marker;
}

int main(int argc, char **argv)
{
    uint8_t *pixels = bench_alloc((size_t)WIDTH * HEIGHT * 3);
    struct key128 key = {{0}};
    struct rng r;
    struct err e = {0};
    int n, copies;

    if (argc != 4) {
        bench_usage(usage);
    }
    n = bench_int(argv[2]);
    copies = bench_int(argv[3]);
    read_tiles();
    if (n_tiles == 0) {
        bench_usage(usage);
    }
    for (int i = 0; i < CLASSES; i++) {
        char path[4096];

        (void)snprintf(path, sizeof path, "%s/c%d", argv[1], i);
        bench_must(fs_mkdirs(path, &e), &e);
    }
    rng_init(&r, 1, RNG_TEST, 0, &key, 0);
    for (int i = 0; i < n; i++) {
        unsigned char *jpeg = NULL;
        size_t bytes;

        mosaic(&r, pixels);
        bytes = encode(pixels, 0, &jpeg);
        for (int k = 0; k < copies; k++) {
            memcpy(comment(jpeg, bytes), &k, sizeof k);
            write_file(argv[1], i * copies + k, jpeg, bytes);
        }
        free(jpeg);
    }
    return 0;
}
