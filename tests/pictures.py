"""Reads SVG: its elements of a name, and its texts."""

import xml.etree.ElementTree as ElementTree

NAMESPACE = "{http://www.w3.org/2000/svg}"


def elements(picture, name):
    return ElementTree.fromstring(picture).findall(f".//{NAMESPACE}{name}")


def texts(picture):
    return [x.text for x in elements(picture, "text") if x.text]
