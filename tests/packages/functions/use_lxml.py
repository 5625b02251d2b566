from lxml import etree, html

SHEET = etree.XSLT(
    etree.XML(
        '<s:stylesheet version="1.0" xmlns:s="http://www.w3.org/1999/XSL/Transform">'
        '<s:template match="/"><teas n="{count(//tea)}"/></s:template></s:stylesheet>'
    )
)
NAMES = etree.XPath("//tea/@name")


def handler(event, context):
    shop = etree.fromstring('<shop><tea name="green"/><tea name="black"/></shop>')
    page = html.fromstring("<p>hot <b>tea</b></p>")
    return [list(map(str, NAMES(shop))), SHEET(shop).getroot().get("n"), page.text_content()]
