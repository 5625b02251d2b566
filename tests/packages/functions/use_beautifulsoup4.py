from bs4 import BeautifulSoup, SoupStrainer

page = BeautifulSoup("<ul><li class='tea'>green</li><li class='tea'>black</li></ul>", "html.parser")
ONLY = SoupStrainer("li")


def handler(event, context):
    again = BeautifulSoup(str(page), "html.parser", parse_only=ONLY)
    return [[li.text for li in page.select("li.tea")], len(again.find_all("li"))]
