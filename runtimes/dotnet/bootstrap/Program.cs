namespace Thaw.Bootstrap;

internal static class Program
{
    public static int Main() => 70;
}
