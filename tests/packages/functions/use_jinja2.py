from jinja2 import DictLoader, Environment

environment = Environment(
    loader=DictLoader({"bill": "{% for t in teas %}{{ t|upper }};{% endfor %}"}), autoescape=True
)
draw = environment.from_string("{{ range(1000000)|random }}-{{ range(1000000)|random }}")


def handler(event, context):
    return environment.get_template("bill").render(teas=["green", "<black>"])


def unique():
    return {"the filter random": draw.render()}
