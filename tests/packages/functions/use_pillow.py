import io

from PIL import Image, ImageDraw

cup = Image.new("RGB", (64, 64), "white")
ImageDraw.Draw(cup).ellipse((8, 8, 56, 56), fill="green")


def handler(event, context):
    file = io.BytesIO()
    cup.resize((32, 32)).save(file, "PNG")
    return [file.getvalue()[:8].hex(), Image.open(file).getpixel((16, 16))]


def unique():
    return {"noise": Image.effect_noise((8, 8), 50).tobytes().hex()}
