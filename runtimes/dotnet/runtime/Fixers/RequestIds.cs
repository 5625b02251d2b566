namespace Thaw.Runtime.Fixers;

/// <summary><c>HttpContext.TraceIdentifier</c>, where no trace id takes its place.</summary>
internal sealed class RequestIds : Counters
{
    public override string Name => "aspnetcore";

    public override string Library => "Microsoft.AspNetCore.Http";

    protected override IEnumerable<(string Assembly, string Type, string Field)> Known =>
        [("Microsoft.AspNetCore.Http", "Microsoft.AspNetCore.Http.Features.HttpRequestIdentifierFeature", "_requestId")];
}
